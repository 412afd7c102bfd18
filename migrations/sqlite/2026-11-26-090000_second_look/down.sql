alter table operations drop column look_again;
