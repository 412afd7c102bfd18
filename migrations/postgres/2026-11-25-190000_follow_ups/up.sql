-- Captures, cancels and refunds, and what settling an operation in doubt has to remember.
--
-- A program of the schema before still runs on this one: what it leaves out has a default, or is
-- taken from elsewhere when it is read. No statement here walks through the settled operations; the
-- constraints are not tried on them, since they hold nothing in the new columns.

alter table operations
    add column in_doubt_since bigint,
    add column in_doubt_reason text,
    -- Of an operation that makes a payment, the payment's own amount counts.
    add column amount bigint not null default 0,
    add column provider_reference text,
    add column resends_barred boolean not null default false,
    add column absent_at bigint,
    add column failure_code text,
    add column failure_message text,
    add column stray_reversed_at bigint,
    add constraint operations_in_doubt_reason_length
        check (length(in_doubt_reason) <= 1024) not valid,
    add constraint operations_amount_range check (amount between 0 and 99999999) not valid,
    add constraint operations_provider_reference_length
        check (length(provider_reference) <= 1024) not valid,
    add constraint operations_failure_length check (
        length(failure_code) <= 1024 and length(failure_message) <= 65536
    ) not valid,
    add constraint operations_failure_whole
        check ((failure_code is null) = (failure_message is null)) not valid,
    add constraint operations_failure_when_settled
        check (failure_code is null or state = 'settled') not valid,
    add constraint operations_stray_whole
        check (stray_reversed_at is null or stray_reference is not null) not valid;

update operations set amount = (select amount from payments where payments.id = operations.payment_id)
    where state <> 'settled';
update operations set in_doubt_since = coalesce(
    (select in_doubt_since from payments where payments.id = operations.payment_id), first_sent_at
) where in_doubt and state <> 'settled';

-- What is in doubt, the oldest first, and what is to be given back: few rows at any time.
create index operations_in_doubt on operations (coalesce(in_doubt_since, first_sent_at))
    where in_doubt and state <> 'settled';
create index operations_stray on operations (next_recovery_at)
    where stray_reference is not null and stray_reversed_at is null;
