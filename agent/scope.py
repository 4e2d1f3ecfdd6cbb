"""Whether a question is asked of all documents, one by one, or of whichever passages answer it best; by rule for now.

A question over all of them is about a topic: what is left without the words that say how far it reaches.
"""

from __future__ import annotations

import re

AUTO, BEST, ALL = "auto", "best", "all"
KNOWN = (AUTO, BEST, ALL)

_DOCUMENTS = (
    r"(?:documents?|docs?|files?|pdfs?|contracts?|agreements?|reports?|letters?|papers?|e-?mails?|invoices?|reviews?"
    r"|articles?|polic(?:y|ies)|notes?|minutes|offers?|statements?|(?:hand)?books?|manuals?|guides?|leases?|sources?"
    r"|transcripts?)"
)
_THE = r"(?:the|my|our|your|these|those)"
_ASKING = r"(?:list|name|find|show|give|collect|gather|extract|enumerate|report|tell me|go through)"
_LIST_ALL = re.compile(rf"\b{_ASKING}\b(?: me| us)? (?:(?:a|the) list of )?(?:all|every|each|any)\b(?! about)", re.I)
_WHAT_ALL = re.compile(rf"\b(?:what|which|who) (?:are|were) all (?:of )?{_THE}\b", re.I)
_OF_EACH = re.compile(
    rf"\b(?:each|every|any|all|either|none|how many)(?: (?:one )?of)?(?: {_THE})?(?: [\w-]+)? {_DOCUMENTS}\b", re.I
)
_WHICH = re.compile(
    rf"^\W*(?:in )?(?:which|what)(?: of {_THE})? {_DOCUMENTS}(?: of {_THE} \w+)?\b(?! (?:is|was) the\b)"
    r"(?: (?:that|which|also|all|do|does|did|can|is|are|was|were|has|have|had))*",
    re.I,
)
_SAYING = r"(?:mention|say|contain|include|talk|speak|require|state|refer|discus|cover|describe|set|deal|name)\w*"
_ABOUT = re.compile(
    rf"^\W*{_SAYING}?(?: (?:anything|something))?(?: (?:about|of|to|on|with))?\b(?: (?:an?|any|the))?\b", re.I
)
_LEADING = re.compile(
    rf"^\W*(?:please |can you |could you )*{_ASKING}\b(?: me| us)?(?: (?:a|the) list of)?(?: (?:all|every|each|any))?"
    rf"(?: of)?(?: {_THE})?\b|^\W*(?:what|which|who) (?:are|were) all (?:of )?{_THE}\b",
    re.I,
)
_A_DOCUMENT = rf"(?:it|they|(?:{_THE} )?(?:[\w'-]+ ){{0,3}}{_DOCUMENTS}|[\w.-]+\.\w{{2,4}})"
_SAID_THERE = re.compile(
    rf"^\W*(?:(?:tell me )?(?:what |where )?(?:else )?(?:(?:do|does|did) )?{_A_DOCUMENT} {_SAYING}"
    r"(?: (?:me|us|anything|something))?(?: (?:about|on|of|to|regarding))?"
    rf"|(?:what |is there |are there )(?:anything |something )?(?:in {_A_DOCUMENT} )?about"
    r"|(?:please |can you |could you )*tell me(?: \w+)? about)(?: (?:an?|any|the))? (.+)$",
    re.I,
)
_WHERE = re.compile(
    rf"\b(?:in|from|of|across|for|by|within|over|through)? ?(?:each|every|any|all|either)(?: (?:one )?of)?(?: {_THE})?"
    rf" {_DOCUMENTS}\b|\b(?:in|from|of|across|within|over|through) {_THE} {_DOCUMENTS}\b",
    re.I,
)


def wants_all(question: str) -> bool:
    """Whether a question asks what each of many documents says: `list every`, `which contracts`, `in any of ...`."""
    return any(pattern.search(question) for pattern in (_LIST_ALL, _WHAT_ALL, _OF_EACH, _WHICH))


def reach(over: str, question: str, documents: int) -> str:
    """`best` or `all` for a question, as the person chose or else as its words want; one document needs no list."""
    if over != AUTO:
        return over
    return ALL if documents > 1 and wants_all(question) else BEST


def topic(question: str) -> str:
    """What a question is about, without the words that only say which documents are meant, and that they say it."""
    if said := _SAID_THERE.match(question):
        return said[1].strip(" ?.!,:;")
    left, which = _WHICH.subn("", question)
    left = _ABOUT.sub("", left) if which else _LEADING.sub("", left)
    left = " ".join(_WHERE.sub(" ", left).split()).strip(" ?.!,:;")
    return left if any(character.isalnum() for character in left) else question
