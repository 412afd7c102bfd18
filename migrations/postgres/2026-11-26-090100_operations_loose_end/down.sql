drop index operations_loose_end;
