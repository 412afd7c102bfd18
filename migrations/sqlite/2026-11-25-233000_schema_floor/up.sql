-- Which programs may work on this database: those that know the migration `version`. Others refuse it.
--
-- A migration that only adds leaves the row alone, so that older programs go on beside newer ones. One
-- that takes away or narrows what they use sets `version` to its own.

create table schema_floor (
    id integer not null primary key,
    version text not null,
    constraint schema_floor_single check (id = 1)
) strict;

insert into schema_floor (id, version) values (1, '20260105090000');
