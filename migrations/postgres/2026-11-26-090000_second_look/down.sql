drop index operations_loose_end;
alter table operations drop column look_again;
