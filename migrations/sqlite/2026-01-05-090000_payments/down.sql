drop table payment_events;
drop table operations;
drop table payments;
drop table api_keys;
drop table merchants;
