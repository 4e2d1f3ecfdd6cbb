"""The page's HTML made complete without a network: every reference to another host is taken out.

Chainlit's page names Google Fonts, a KaTeX style sheet on jsDelivr and preview pictures of its makers (S08).
"""

from __future__ import annotations

import re

# A whole tag that carries an address on another host in any attribute: link, meta, script with src, img.
_REMOTE_TAG = re.compile(
    rb"""<(?:link|meta|img|script)\b[^>]*?=\s*["']?(?:https?:)?//[^>]*>(?:\s*</script>)?[ \t]*\n?""", re.IGNORECASE
)


def without_remote_references(html: bytes) -> bytes:
    """The same page with every tag removed that would make a browser ask another host."""
    return _REMOTE_TAG.sub(b"", html)
