-- Ids are TypeIDs, and sort as text in the order of their making; times are microseconds since 1970.

create table merchants (
    id text collate "C" primary key,
    name text not null,
    created_at bigint not null,
    disabled_at bigint,
    constraint merchants_name_unique unique (name),
    constraint merchants_id_length check (length(id) between 5 and 64),
    constraint merchants_name_length check (length(name) between 1 and 255)
);

create table api_keys (
    id text collate "C" primary key,
    role text not null,
    merchant_id text collate "C" references merchants (id),
    mode text,
    digest bytea not null,
    hint text not null,
    created_at bigint not null,
    revoked_at bigint,
    constraint api_keys_digest_unique unique (digest),
    constraint api_keys_id_length check (length(id) between 5 and 64),
    constraint api_keys_digest_length check (length(digest) = 32),
    constraint api_keys_hint_length check (length(hint) <= 64),
    constraint api_keys_mode_known check (mode in ('live', 'test')),
    constraint api_keys_role_whole check (
        (role = 'merchant' and merchant_id is not null and mode is not null)
        or (role = 'admin' and merchant_id is null and mode is null)
    )
);

create table payments (
    id text collate "C" primary key,
    merchant_id text collate "C" not null references merchants (id),
    mode text collate "C" not null,
    idempotency_key text collate "C" not null,
    status text collate "C" not null,
    amount bigint not null,
    currency text collate "C" not null,
    amount_captured bigint not null,
    amount_refunded bigint not null,
    -- What open captures and refunds hold back until they are settled.
    capture_reserved bigint not null default 0,
    refund_reserved bigint not null default 0,
    capture text not null,
    payment_method text not null,
    reference text collate "C",
    description text,
    metadata text not null,
    provider text not null,
    provider_reference text,
    failure_code text,
    failure_message text,
    in_doubt_since bigint,
    event_count bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    constraint payments_id_length check (length(id) between 5 and 64),
    constraint payments_mode_known check (mode in ('live', 'test')),
    constraint payments_status_known check (
        status in ('processing', 'pending', 'authorized', 'succeeded', 'failed', 'canceled')
    ),
    constraint payments_amount_range check (amount between 1 and 99999999),
    constraint payments_currency_length check (length(currency) = 3),
    constraint payments_reserved_not_negative check (capture_reserved >= 0 and refund_reserved >= 0),
    constraint payments_captured_not_negative check (amount_captured >= 0),
    constraint payments_captured_within_amount check (amount_captured + capture_reserved <= amount),
    constraint payments_refunded_not_negative check (amount_refunded >= 0),
    constraint payments_refunded_within_captured check (
        amount_refunded + refund_reserved <= amount_captured
    ),
    constraint payments_capture_known check (capture in ('automatic', 'manual')),
    constraint payments_idempotency_key_length check (length(idempotency_key) between 1 and 255),
    constraint payments_payment_method_length check (length(payment_method) between 1 and 1024),
    constraint payments_reference_length check (length(reference) <= 1024),
    constraint payments_description_length check (length(description) <= 8192),
    constraint payments_metadata_length check (length(metadata) <= 65536),
    constraint payments_provider_length check (length(provider) between 1 and 255),
    constraint payments_provider_reference_length check (length(provider_reference) <= 1024),
    constraint payments_failure_length check (
        length(failure_code) <= 1024 and length(failure_message) <= 65536
    ),
    constraint payments_failure_whole check ((failure_code is null) = (failure_message is null)),
    constraint payments_event_count_positive check (event_count >= 1)
);

-- A payment is found by its idempotency key through its operation.
create index payments_by_merchant on payments (merchant_id, mode, id);
create index payments_by_status on payments (merchant_id, mode, status, id);
create index payments_by_reference on payments (merchant_id, mode, reference, id)
    where reference is not null;

create table operations (
    id text collate "C" primary key,
    payment_id text collate "C" not null references payments (id),
    merchant_id text collate "C" not null,
    mode text collate "C" not null,
    idempotency_key text collate "C" not null,
    kind text collate "C" not null,
    fingerprint_version smallint not null,
    fingerprint bytea not null,
    request_id text not null,
    state text collate "C" not null,
    epoch bigint not null,
    owner bytea not null,
    lease_until bigint not null,
    provider text not null,
    account text not null,
    api_version text not null,
    provider_key text not null,
    provider_request bytea not null,
    first_sent_at bigint not null,
    in_doubt boolean not null,
    amount_reserved bigint not null,
    answer_status smallint,
    answer_location text,
    answer_body bytea,
    stray_reference text,
    recovery_tries integer not null,
    next_recovery_at bigint not null,
    created_at bigint not null,
    -- The arbiter between processes: one operation per key, for ever.
    constraint operations_key_unique unique (merchant_id, mode, idempotency_key),
    constraint operations_id_length check (length(id) between 5 and 64),
    constraint operations_mode_known check (mode in ('live', 'test')),
    constraint operations_kind_known check (kind in ('create', 'capture', 'cancel', 'refund')),
    constraint operations_state_known check (state in ('open', 'pending', 'settled')),
    constraint operations_idempotency_key_length check (length(idempotency_key) between 1 and 255),
    constraint operations_fingerprint_length check (length(fingerprint) = 32),
    constraint operations_request_id_length check (length(request_id) between 5 and 64),
    constraint operations_epoch_not_negative check (epoch >= 0),
    constraint operations_owner_length check (length(owner) = 16),
    constraint operations_provider_length check (length(provider) between 1 and 255),
    constraint operations_account_length check (length(account) <= 255),
    constraint operations_api_version_length check (length(api_version) <= 255),
    constraint operations_provider_key_length check (length(provider_key) between 1 and 255),
    constraint operations_provider_request_length check (length(provider_request) <= 262144),
    constraint operations_amount_reserved_not_negative check (amount_reserved >= 0),
    constraint operations_answer_whole check (
        (answer_status is null) = (answer_body is null)
        and (answer_status is not null or answer_location is null)
    ),
    constraint operations_answer_when_settled check (
        (state = 'settled') = (answer_status is not null)
    ),
    constraint operations_answer_length check (
        length(answer_location) <= 1024 and length(answer_body) <= 1048576
    ),
    constraint operations_stray_reference_length check (length(stray_reference) <= 1024),
    constraint operations_recovery_tries_not_negative check (recovery_tries >= 0)
);

-- Settling a payment rewrites its row in every index: each index here is one that must be.
create index operations_after_creation on operations (payment_id) where kind <> 'create';
create unique index operations_one_capture_or_cancel on operations (payment_id)
    where kind in ('capture', 'cancel') and state <> 'settled';
create index operations_unsettled on operations (state, next_recovery_at) where state <> 'settled';

create table payment_events (
    payment_id text collate "C" not null references payments (id),
    seq bigint not null,
    kind text not null,
    data text not null,
    created_at bigint not null,
    primary key (payment_id, seq),
    constraint payment_events_seq_positive check (seq >= 1),
    constraint payment_events_kind_length check (length(kind) between 1 and 64),
    constraint payment_events_data_length check (length(data) <= 131072)
);

create function refuse_to_rewrite_history() returns trigger language plpgsql as $$
begin
    raise exception '% of % is refused: what happened stays', tg_op, tg_table_name
        using errcode = 'restrict_violation';
end
$$;

create trigger payment_events_are_never_changed
    before update or delete on payment_events
    for each row execute function refuse_to_rewrite_history();
create trigger payment_events_are_never_emptied
    before truncate on payment_events
    for each statement execute function refuse_to_rewrite_history();
create trigger merchants_are_never_deleted
    before delete on merchants
    for each row execute function refuse_to_rewrite_history();
create trigger merchants_are_never_emptied
    before truncate on merchants
    for each statement execute function refuse_to_rewrite_history();
