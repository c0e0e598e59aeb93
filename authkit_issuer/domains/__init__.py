"""The domains of the service. Inside each: ``service``, ``queries``, ``records``, features named by nouns.

A feature has its SQL in its file; ``queries`` has that of ``service`` and what several files share.
"""
