"""Numbers of things, as people say them."""


def counted(number: int, thing: str, things: str = "") -> str:
    """Return a number of things in words.

    >>> counted(1, "change"), counted(2300, "label"), counted(0, "reply", "replies")
    ('1 change', '2,300 labels', '0 replies')
    """
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"
