"""What a page may run and fetch: nothing but what stands in it, and what lies beside it where that is said."""

import base64
import hashlib


def hashed(text: str) -> str:
    """The source expression of a content security policy that lets this text alone run or apply."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def policy(script: str, style: str, *, beside: bool = False) -> str:
    """The element of a page's head that forbids every network.

    Args:
        script, style: what `hashed` gives of the page's one script and one style.
        beside: whether scripts that lie beside the page may run, too.
    """
    scripts = f"'self' file: {script}" if beside else script
    rules = f"default-src 'none'; script-src {scripts}; style-src {style}; img-src data:; base-uri 'none'; form-action 'none'"
    return f'<meta http-equiv="Content-Security-Policy" content="{rules}">\n'
