-- The directory is read by age with and without deleted users.
drop index profiles.users_newest_idx;
create index users_created_idx on profiles.users (created_at desc, id);
