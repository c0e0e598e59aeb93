-- deleted_by_owner: the owner deleted the account, and so may restore it; what an operator deleted, an operator
-- restores. erase_requested: the owner wants the next purge to delete it, whenever the retention ends.

alter table profiles.users
    add column deleted_by_owner boolean not null default false,
    add column erase_requested boolean not null default false;
