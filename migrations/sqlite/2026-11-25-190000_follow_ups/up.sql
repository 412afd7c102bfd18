-- Captures, cancels and refunds, and what settling an operation in doubt has to remember.

alter table operations add column in_doubt_since integer;
alter table operations add column in_doubt_reason text;
alter table operations add column amount integer not null default 0;
alter table operations add column provider_reference text;
alter table operations add column resends_barred integer not null default 0;
alter table operations add column absent_at integer;
alter table operations add column failure_code text;
alter table operations add column failure_message text;
alter table operations add column stray_reversed_at integer;

update operations set amount = (select amount from payments where payments.id = operations.payment_id);
update operations set in_doubt_since = (
    select in_doubt_since from payments where payments.id = operations.payment_id
) where in_doubt;

-- What is in doubt, the oldest first: few rows at any time.
create index operations_in_doubt on operations (in_doubt_since) where in_doubt_since is not null;
create index operations_stray on operations (next_recovery_at)
    where stray_reference is not null and stray_reversed_at is null;
