-- The algorithms of imported hashes; see authkit_issuer.security.foreign_hashes for their forms.

alter table profiles.user_passwords
    drop constraint user_passwords_algo,
    add constraint user_passwords_algo check (
        hash_algo in ('argon2id', 'argon2i', 'bcrypt', 'pbkdf2', 'scrypt', 'legacy-reset-required', '')
    );
