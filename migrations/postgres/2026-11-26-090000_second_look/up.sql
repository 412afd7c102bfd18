-- What an operator called failed is looked for once more, when an absence means something.
--
-- A program of the schema before leaves the column out, and such a look to newer ones.

alter table operations add column look_again boolean not null default false;
