-- What the end of a ban and the erasure of an account look for.

create index users_banned_until_idx on profiles.users (banned_until) where banned_until is not null;
create index session_events_actor_idx on profiles.session_events (actor) where actor is not null;
