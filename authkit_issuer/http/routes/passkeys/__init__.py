"""Operations on passkeys."""
