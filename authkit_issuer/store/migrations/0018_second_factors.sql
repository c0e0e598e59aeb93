-- The number of the migration of second factors.
select 1;
