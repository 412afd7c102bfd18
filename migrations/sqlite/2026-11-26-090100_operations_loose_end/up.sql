-- What is left to do for settled operations: few rows at any time. The index of stray charges alone stays
-- for the programs before.
create index operations_loose_end on operations (next_recovery_at)
    where look_again or (stray_reference is not null and stray_reversed_at is null);
