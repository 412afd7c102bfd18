-- Captures, cancels and refunds, and what settling an operation in doubt has to remember.
--
-- A program of the schema before still runs on this one: what it leaves out has a default, or is
-- taken from elsewhere when it is read. Nothing here rewrites the settled operations.

alter table operations add column in_doubt_since integer;
alter table operations add column in_doubt_reason text
    constraint operations_in_doubt_reason_length check (length(in_doubt_reason) <= 1024);
-- Of an operation that makes a payment, the payment's own amount counts.
alter table operations add column amount integer not null default 0
    constraint operations_amount_range check (amount between 0 and 99999999);
alter table operations add column provider_reference text
    constraint operations_provider_reference_length check (length(provider_reference) <= 1024);
alter table operations add column resends_barred integer not null default 0
    constraint operations_resends_barred_known check (resends_barred in (0, 1));
alter table operations add column absent_at integer;
alter table operations add column failure_code text
    constraint operations_failure_when_settled check (failure_code is null or state = 'settled');
alter table operations add column failure_message text
    constraint operations_failure_length check (
        length(failure_code) <= 1024 and length(failure_message) <= 65536
    )
    constraint operations_failure_whole
        check ((failure_code is null) = (failure_message is null));
alter table operations add column stray_reversed_at integer
    constraint operations_stray_whole
        check (stray_reversed_at is null or stray_reference is not null);

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
