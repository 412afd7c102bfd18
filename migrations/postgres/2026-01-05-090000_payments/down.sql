drop table payment_events;
drop table operations;
drop table payments;
drop table api_keys;
drop table merchants;
drop function refuse_to_rewrite_history();
