"""``python -m authkit_issuer.cli``: the command without its script."""

from __future__ import annotations

from authkit_issuer.cli import main

if __name__ == "__main__":
    main()
