"""The ways in which English asks one thing: each is brought to a common form before a question is read.

"For what reason", "how come" and "what is the reason that" are "why"; "on which date" is "when"; "what must I do to" is
"how". It works on words in lower case with contractions opened, joined by single spaces.
"""

import re
from typing import Final

_UNIT = r"(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?|time)"
_ME = r"(?:i|we|you|one|someone)"
_ALLOWED = r"(?:possible|okay|ok|allowed|permitted|fine|alright|acceptable|permissible|feasible)"
_DUTY = r"(?:necessary|required|needed|compulsory|mandatory|obligatory)"

_FRAMES: Final = tuple(
    (frozenset(words.split()), re.compile(rf"\b(?:{pattern})(?!\S)"), to)
    for words, pattern, to in (
        ("right moment present order now way exactly currently",
         r"right now|at the moment|at present|in order(?= to )|as of now|by the way|exactly|currently", ""),
        ("you tell show explain know wonder wondering idea ask",
         r"(?:please )?(?:can|could|would|will) you (?:please )?(?:tell|explain to|show|inform|advise) (?:me|us)(?: about| if| whether)?|"
         r"(?:please )?(?:tell|show|explain to) (?:me|us)(?= (?:how|what|when|where|why|who|which|if|whether))|"
         r"i (?:would like|want|need) to know(?: if| whether)?|i (?:wonder|was wondering)(?: if| whether)?|do you know(?: if| whether)?|any idea|may i ask|"
         r"(?:please )?(?:can|could) you (?:please )?(?:explain|say)(?= (?:how|what|when|where|why|who|which|if|whether))", ""),
        ("least",
         r"(?:the )?least (?:expensive|costly)", "cheapest"),
        ("less",
         r"less (?:expensive|costly)", "cheaper"),
        ("reason reasons cause causes come for",
         r"(?:what|which) (?:is|are|was|were) the (?:reasons?|causes?)(?: for| that| why| of| behind)?|"
         r"for (?:what|which) reasons?|how come|what for", "why"),
        ("date",
         r"(?:what|which) (?:is|was|will be) the ((?:\w+ )?)date (?:of|for|on which|when|that)", r"when is \1"),
        ("time date day month year weekday",
         r"(?:(?:at|on|from|by|in|until|since|around|for) )?(?:what|which) (time|date|day|month|year|weekday)(?! zone| limit| off)",
         r"when asked_\1"),
        ("when",
         r"from when|since when|by when|until when|till when", "when"),
        ("many much",
         rf"(?:for )?how (?:many|much) {_UNIT}(?! of| off)", "how long"),
        ("long length",
         r"for how long|how long a time|what length of time", "how long"),
        ("number",
         r"(?:what|which)(?: is the)?(?: total)? number of|what number(?= of )", "how many"),
        ("amount",
         r"(?:what|which)(?: is the)?(?: total)? amount(?: of| that)?", "how much"),
        ("much",
         r"how much(?! (?:is|are|was|were|does|do|did|will|would|must|can|should|may|it|for|to|in)\b)(?= \S)", "how many"),
        ("person people whom who",
         r"(?:what|which) (?:person|people)|(?:to|with|by|for|from|of) whom|whom|who is it that", "who"),
        ("place location spot",
         r"(?:in|to|at) (?:what|which) (?:place|location|spot)|(?:what|where) is the place (?:to|for|where)", "where"),
        ("way manner means method",
         r"in (?:what|which) (?:way|manner)|by (?:what|which) means|by what method", "how"),
        ("way way step steps procedure process method",
         rf"(?:what|which) (?:is|are) the (?:\w+ )?(?:way|steps?|procedure|process|method)(?: (?:to|for|of|that {_ME}|{_ME}))*|"
         rf"what (?:are )?steps (?:do|must|should) {_ME} take to", "how do i"),
        ("do",
         rf"(?:what|which)(?: things)? (?:do|must|should|can|would|shall|could) {_ME} (?:(?:have|need) to )?do (?:to|so that|for|in order to)",
         "how do i"),
        ("if happens happened happen occurs consequence consequences result effect effects becomes",
         r"what if|what (?:happens|happened|will happen|occurs) (?:if|when|to|with|after|for)|what (?:are|is) the (?:consequences?|result|effects?) (?:of|if|when)|"
         r"what becomes of", "what happens"),
        ("meaning meant mean",
         r"what (?:is|are) the meaning of|what is meant by|what does it mean(?: when| if| that)", "what mean"),
        ("possible okay ok allowed permitted fine alright acceptable permissible feasible able entitled",
         rf"(?:is|was|would) it (?:be )?{_ALLOWED}(?: for (?:me|us|you|a|an|the)?)?(?: to| that i| if i)?|(?:am|are|is) {_ME} (?:able|allowed|permitted|entitled) to",
         "can i"),
        ("to",
         r"how to", "how do i"),
        ("way possibility chance option get",
         r"is there (?:a|any|some) (?:way|possibility|chance|option)(?: for me)?(?: to| of)|do i get to", "can i"),
        ("have need necessary required needed compulsory mandatory obligatory obliged expected supposed",
         rf"(?:do|does|must|should) {_ME} (?:have|need) to|is it {_DUTY}(?: for me)?(?: to| that i)|am i (?:required|obliged|expected|supposed) to", "must i"),
    )
)  # fmt: skip
_TRIGGERS: Final = frozenset().union(*(some for some, _, _ in _FRAMES))
"""Of the words of each frame one must be there, so that most of them are passed over."""
_CAN_END: Final = re.compile(rf"^(?:is|are|would) .* {_ALLOWED}$")
_MUST_END: Final = re.compile(rf"^(?:is|are) .* {_DUTY}$")


def framed(words: list[str]) -> list[str]:
    """The words with every way of asking in its common form; the same list when there is none."""
    if _TRIGGERS.isdisjoint(words):
        return words
    text = before = " ".join(words)
    for some, pattern, to in _FRAMES:
        if not some.isdisjoint(words):
            text = pattern.sub(to, text)
    if _CAN_END.match(text):
        text = "can i " + text
    elif _MUST_END.match(text):
        text = "must i " + text
    return words if text == before else text.split()

