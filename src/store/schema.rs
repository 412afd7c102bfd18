//! The tables, as both databases have them. Ids are text and times are microseconds.
//!
//! **Invariant:** only portable column types stand here, so that one row type serves both databases.

diesel::table! {
    merchants (id) {
        id -> Text,
        name -> Text,
        created_at -> BigInt,
        disabled_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    api_keys (id) {
        id -> Text,
        role -> Text,
        merchant_id -> Nullable<Text>,
        mode -> Nullable<Text>,
        digest -> Binary,
        hint -> Text,
        created_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    installation (id) {
        id -> SmallInt,
        installation_id -> Text,
        store_incarnation -> Text,
        lookup_secret -> Binary,
    }
}

diesel::table! {
    payments (id) {
        id -> Text,
        merchant_id -> Text,
        mode -> Text,
        idempotency_key -> Text,
        status -> Text,
        amount -> BigInt,
        currency -> Text,
        amount_captured -> BigInt,
        amount_refunded -> BigInt,
        capture_reserved -> BigInt,
        refund_reserved -> BigInt,
        capture -> Text,
        payment_method -> Text,
        reference -> Nullable<Text>,
        description -> Nullable<Text>,
        metadata -> Text,
        provider -> Text,
        provider_reference -> Nullable<Text>,
        failure_code -> Nullable<Text>,
        failure_message -> Nullable<Text>,
        in_doubt_since -> Nullable<BigInt>,
        event_count -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    operations (id) {
        id -> Text,
        payment_id -> Text,
        merchant_id -> Text,
        mode -> Text,
        idempotency_key -> Text,
        kind -> Text,
        fingerprint_version -> SmallInt,
        fingerprint -> Binary,
        request_id -> Text,
        state -> Text,
        epoch -> BigInt,
        owner -> Binary,
        lease_until -> BigInt,
        provider -> Text,
        account -> Text,
        api_version -> Text,
        provider_key -> Text,
        provider_request -> Binary,
        first_sent_at -> BigInt,
        in_doubt -> Bool,
        amount_reserved -> BigInt,
        answer_status -> Nullable<SmallInt>,
        answer_location -> Nullable<Text>,
        answer_body -> Nullable<Binary>,
        stray_reference -> Nullable<Text>,
        recovery_tries -> Integer,
        next_recovery_at -> BigInt,
        created_at -> BigInt,
        in_doubt_since -> Nullable<BigInt>,
        in_doubt_reason -> Nullable<Text>,
        amount -> BigInt,
        provider_reference -> Nullable<Text>,
        resends_barred -> Bool,
        absent_at -> Nullable<BigInt>,
        failure_code -> Nullable<Text>,
        failure_message -> Nullable<Text>,
        stray_reversed_at -> Nullable<BigInt>,
        look_again -> Bool,
    }
}

diesel::table! {
    payment_events (payment_id, seq) {
        payment_id -> Text,
        seq -> BigInt,
        kind -> Text,
        data -> Text,
        created_at -> BigInt,
    }
}

diesel::joinable!(api_keys -> merchants (merchant_id));
diesel::joinable!(operations -> payments (payment_id));
diesel::allow_tables_to_appear_in_same_query!(
    api_keys,
    merchants,
    operations,
    payment_events,
    payments
);
