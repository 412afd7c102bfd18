-- What an operator called failed is looked for once more, when an absence means something.
--
-- A program of the schema before leaves the column out, and such a look to newer ones.

alter table operations add column look_again integer not null default 0
    constraint operations_look_again_known check (look_again in (0, 1));
