-- What every node of this installation knows, one row. The program makes it at its first start, of its
-- random source; the incarnation alone changes later. A program of the schema before does not know of it.

create table installation (
    id integer not null primary key,
    installation_id text not null,
    store_incarnation text not null,
    lookup_secret blob not null,
    constraint installation_single check (id = 1),
    constraint installation_id_length check (length(installation_id) = 36),
    constraint installation_store_incarnation_length check (length(store_incarnation) = 36),
    constraint installation_lookup_secret_length check (length(lookup_secret) = 32)
) strict;
