"""Tables of English that `question` reads with: what is politeness, what is a number, which words exclude each other.

Data only. Words are given in lower case, as they stand after contractions were opened ("don't" is "do not").
"""

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


GREETINGS: Final = (
    "hello there", "hi there", "hey there", "good morning", "good afternoon", "good evening", "good day",
    "dear sir or madam", "dear sir", "dear madam", "dear support team", "dear support", "dear team", "dear all",
    "to whom it may concern", "hi team", "hello team", "hi support", "hello support", "hi all", "hello everyone",
    "hi everyone", "hi folks", "hello", "hi", "hey", "hiya", "greetings", "howdy", "excuse me", "pardon me",
    "sorry to bother you but", "sorry to bother you", "sorry for the trouble", "quick question", "just a quick question",
    "just wondering", "i was wondering", "i was just wondering", "i have a question", "got a question",
    "one question", "please help me", "please help", "help me please", "help please", "help", "please",
    "i hope you are well", "i hope this finds you well", "hope you are well", "hope you are doing well", "so", "ok", "okay",
)  # fmt: skip
"""Openings that carry no question, the longer before the shorter ones that they begin with."""

FAREWELLS: Final = (
    "thank you very much in advance", "thank you so much in advance", "thank you in advance", "thanks in advance",
    "many thanks in advance", "thank you very much", "thank you so much", "thanks a lot", "thanks so much",
    "thanks a million", "many thanks", "much appreciated", "i appreciate your help", "thanks for your help",
    "thank you for your help", "thanks for the help", "thanks for any help", "thank you", "thanks", "thx", "ty", "cheers",
    "kind regards", "best regards", "warm regards", "best wishes", "regards", "sincerely", "yours sincerely",
    "yours faithfully", "have a nice day", "have a great day", "have a good day", "bye", "goodbye", "please", "pls",
    "plz", "please help", "please advise", "please let me know", "let me know", "asap please", "asap",
)  # fmt: skip
"""Closings that carry no question."""

CONTRACTIONS: Final = {
    "can't": "can not", "cannot": "can not", "won't": "will not", "shan't": "shall not", "ain't": "is not",
    "what's": "what is", "where's": "where is", "when's": "when is", "who's": "who is", "how's": "how is",
    "it's": "it is", "that's": "that is", "there's": "there is", "here's": "here is", "let's": "let us",
    "i'm": "i am", "i'd": "i would", "i'll": "i will", "i've": "i have", "you're": "you are", "you've": "you have",
    "you'd": "you would", "you'll": "you will", "we're": "we are", "we'd": "we would", "we'll": "we will",
    "we've": "we have", "they're": "they are", "they've": "they have", "they'll": "they will",
    "wheres": "where is", "whats": "what is", "hows": "how is", "im": "i am", "ive": "i have", "id": "id",
    "dont": "do not", "doesnt": "does not", "didnt": "did not", "cant": "can not", "wont": "will not",
    "isnt": "is not", "wasnt": "was not", "havent": "have not", "hasnt": "has not", "couldnt": "could not",
    "wouldnt": "would not", "shouldnt": "should not", "arent": "are not",
    "pls": "please", "plz": "please", "pw": "password", "pwd": "password", "acct": "account", "diff": "difference",
    "info": "information", "u": "you", "ur": "your", "msg": "message", "thru": "through", "w/o": "without",
}  # fmt: skip

NUMBER_WORDS: Final = {
    "zero": 0, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90,
}  # fmt: skip
"""Without "one": it is a pronoun more often than a number; `question` counts it only before a unit."""

SCALES: Final = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "k": 1_000, "dozen": 12}

UNITS: Final = {
    "%": "%", "percent": "%", "pct": "%", "$": "usd", "usd": "usd", "dollar": "usd", "buck": "usd", "€": "eur", "eur": "eur",
    "euro": "eur", "£": "gbp", "gbp": "gbp", "pound": "gbp", "quid": "gbp", "yen": "jpy", "¥": "jpy", "cent": "cent",
    "chf": "chf", "franc": "chf", "second": "s", "sec": "s", "s": "s", "minute": "min", "min": "min", "hour": "h", "hr": "h",
    "h": "h", "day": "d", "week": "wk", "month": "mo", "year": "y", "yr": "y", "byte": "byte", "kb": "kb", "mb": "mb",
    "gb": "gb", "tb": "tb", "kilobyte": "kb", "megabyte": "mb", "gigabyte": "gb", "gig": "gb", "terabyte": "tb", "kg": "kg",
    "kilo": "kg", "kilogram": "kg", "gram": "g", "g": "g", "lb": "lb", "lbs": "lb", "ounce": "oz", "oz": "oz", "mm": "mm", "cm": "cm",
    "centimetre": "cm", "centimeter": "cm", "meter": "m", "metre": "m", "m": "m", "km": "km", "kilometre": "km",
    "kilometer": "km", "mile": "mile", "inch": "inch", "inche": "inch", "in": "inch", "foot": "ft", "feet": "ft", "ft": "ft",
    "litre": "l", "liter": "l", "l": "l", "ml": "ml", "watt": "w", "w": "w", "volt": "v", "v": "v", "hz": "hz", "mbps": "mbps",
}  # fmt: skip

MONTHS: Final = _words(
    "january february march april june july august september october november december "
    "jan feb mar apr jun jul aug sep sept oct nov dec"
)
WEEKDAYS: Final = _words("monday tuesday wednesday thursday friday saturday sunday")

NEGATIONS: Final = _words("not no never without nothing nobody none neither nor non hardly barely unable")
"""Each turns the sense of what stands beside it."""

FAILURES: Final = _words(
    "fail failed fails failing failure reject rejected rejects decline declined declines refuse refused refuses broken "
    "error errors missing wrong incorrect invalid incomplete impossible denied unsuccessful unsuccessfully "
    "damaged faulty defective smashed late delayed stolen hacked compromised mistake problem problems issue issues gone lost incorrectly "
    "misspelled stuck declining crash crashes crashing freezes slow sluggish locked blocked suspended disabled"
)
"""Words that say that something does not work: with a negation they are the same complaint."""

# axis -> (unmarked side, marked side). The unmarked side may go unsaid ("use dark mode"), the marked one never does.
POLES: Final[dict[str, tuple[str, str]]] = {
    "on/off": ("enable enabled enables enabling activate activated activating reactivate switch_on turn_on",
               "disable disabled disables disabling deactivate deactivated deactivating switch_off turn_off"),
    "add/remove": ("add added adding adds include insert attach put_in keep retain", "remove removed removing removes delete deleted deleting deletes erase erased "
                   "detach drop wipe take_off get_rid_of take_out kick"),
    "show/hide": ("show showing display unhide reveal", "hide hidden hiding hides"),
    "lock/unlock": ("unlock unlocked unlocking unblock unblocked unblocking unfreeze unban", "lock locked locking block blocked blocking freeze frozen ban banned suspended"),
    "in/out data": ("import imported importing imports upload uploaded uploading", "export exported exporting exports download downloaded downloading"),
    "start/stop": ("start started starting starts begin resume resumed resuming restart continue keep", "stop stopped stopping stops end ended ending ends quit terminate terminated "
                   "terminating pause paused pausing cancel cancelled canceled cancelling cancels discontinue"),
    "subscribe": ("subscribe subscribed subscribing opt_in sign_up", "unsubscribe unsubscribed unsubscribing opt_out"),
    "install": ("install installed installing reinstall", "uninstall uninstalled uninstalling"),
    "up/down": ("increase increased increasing increases raise raised raising upgrade upgraded upgrading upgrades higher more bigger larger go_up",
                "decrease decreased decreasing decreases reduce reduced reducing lower lowered lowering downgrade downgraded downgrading fewer smaller less go_down"),
    "open/close": ("open opened opening opens create reopen", "close closed closing closes shut"),
    "allow/forbid": ("allow allowed allowing allows permit permitted grant granted granting", "forbid forbidden forbids prohibit prohibited revoke revoked revoking prevent deny"),
    "encrypt": ("encrypt encrypted encrypting", "decrypt decrypted decrypting"),
    "connect": ("connect connected connecting link linked linking pair", "disconnect disconnected disconnecting unlink unlinked unpair"),
    "publish": ("publish published publishing", "unpublish unpublished unpublishing"),
    "archive": ("archive archived archiving", "unarchive unarchived unarchiving"),
    "mute": ("unmute unmuted unmuting", "mute muted muting"),
    "max/min": ("maximum max most highest upper", "minimum min least lowest"),
    "accept/decline": ("accept accepted accepting approve approved approving", "decline declined declining reject rejected rejecting refuse refused"),
    "send/receive": ("send sent sending sends", "receive received receiving receives"),
    "price level": ("cheap cheaper cheapest inexpensive", "expensive dear pricier dearer"),
    "log in/out": ("log_in logged_in sign_in login signin logging_in log_on sign_on", "log_out logged_out sign_out logout signout log_off sign_off"),
    "public/private": ("public", "private"),
    "inside/outside": ("inside indoor indoors inland domestic", "outside outdoor outdoors abroad overseas"),
    "before/after": ("before prior ahead", "after afterwards following"),
    "past/future": ("next upcoming coming", "last previous past"),
    "early/late": ("early earlier", "late later delayed"),
    "first/last": ("first initial", "last final"),
    "morning": ("morning", "evening"),
    "online": ("online", "offline"),
    "gain/lose": ("find found get_back", "lose lost losing"),
    "deposit": ("deposit deposited top_up topped_up topping_up", "withdraw withdrawal withdrawing withdrew"),
    "personal": ("personal", "business"),
    "old/new": ("new newer newest", "old older oldest"),
    "valid": ("valid", "invalid expired"),
    "safe": ("safe secure", "unsafe insecure dangerous"),
    "annual/monthly": ("monthly per_month every_month", "annual annually yearly per_year once_a_year"),
    "free/paid": ("paid", "free"),
    "above/below": ("above exceeding at_least more_than", "below under at_most less_than"),
    "possible": ("possible visible legal", "impossible invisible illegal"),
    "include/exclude": ("include includes included including cover covers covered covering", "exclude excludes excluded excluding"),
    "extend/shorten": ("extend extended extending prolong lengthen longer", "shorten shortened shortening shorter"),
    "merge/split": ("merge merged merging combine combined combining join", "split splitting divide separate"),
    "left/right": ("left", "right"),
    "same/different": ("same equal identical", "different"),
    "forward/back": ("bring_forward", "push_back"),
    "mandatory/optional": ("mandatory compulsory obligatory required", "optional voluntary"),
    "assign": ("assign assigned assigning", "unassign unassigned unassigning"),
    "join/leave": ("join joined joining", "leave leaving quit"),
    "buy/sell": ("buy buying bought purchase", "sell selling sold"),
    "lend/borrow": ("lend lending lent", "borrow borrowing borrowed"),
    "long/short": ("long longer longest", "short shorter shortest"),
    "high/low": ("high higher highest", "low lower lowest"),
    "hot/cold": ("hot warm", "cold cool"),
    "full/empty": ("full", "empty partial"),
    "win/lose": ("win won winning", "lose lost losing"),
    "pass/fail": ("pass passed passing", "fail failed failing"),
    "digital/physical": ("physical printed paper", "digital electronic"),
    "arrive/depart": ("arrive arrives arrived arriving arrival", "depart departs departed departing departure"),
    "employ": ("hire hired hiring", "fire fired firing dismiss dismissed"),
}  # fmt: skip
"""Axes of opposites. Multi-word forms are written with underscores."""

RIVALS: Final[dict[str, str]] = {
    "plan": "starter basic free pro premium business enterprise team solo gold silver bronze platinum standard plus ultimate lite",
    "weekday": " ".join(sorted(WEEKDAYS)) + " weekday weekend",
    "month": " ".join(sorted(MONTHS - {"march", "may"})),
    "format": "pdf csv xlsx excel=xlsx json xml word png jpeg jpg docx html markdown",
    "system": "android iphone=ios ios ipad windows linux mac macos=mac ubuntu chromebook",
    "browser": "chrome firefox safari edge opera",
    "device": "phone smartphone=phone mobile=phone laptop=computer tablet desktop=computer computer watch tv",
    "brand": "google apple microsoft facebook slack teams zoom salesforce hubspot zapier jira outlook gmail dropbox paypal klarna stripe "
             "visa mastercard amex shopify github gitlab notion asana trello amazon samsung",
    "credential": "password email username pin name phone avatar=picture picture photo=picture",
    "document": "invoice receipt=invoice bill=invoice contract quote report statement",
    "card kind": "debit credit virtual disposable prepaid physical",
    "role": "admin administrator=admin owner guest manager viewer editor",
    "currency": "dollar=usd dollars=usd euro=eur euros=eur pound=gbp pounds=gbp usd eur gbp yen",
    "period": "year yearly=year annual=year annually=year month monthly=month week weekly=week day daily=day hour hourly=hour minute",
    "side": "north south east west northern=north southern=south eastern=east western=west",
    "season": "spring summer autumn fall=autumn winter",
    "part of day": "morning afternoon evening night noon midnight",
    "asked time": "asked_time asked_date=asked_day asked_day asked_weekday=asked_day asked_month asked_year",
    "time": "before prior=before during while=during after",
}  # fmt: skip
"""Groups in which one word excludes another: two texts that each name some, but not the same, ask different things.
"laptop=computer" is another word for a member."""

STOPWORDS: Final = _words(
    "'s a an the i me my mine we us our ours you your yours he she it its they them their this that these those is am are "
    "was were be been being do does did doing done have has had having will would shall should can could may might must "
    "of in on at by for with to from as into onto about and or but if then than so too very just also only any some such "
    "there here please want need like get got getting give know tell possible able way how what when where why who which "
    "whose whom let help s t d ll m re ve up out off over again still yet now already really actually ever even else "
    "one thing things something anything someone somebody anyone anybody kind sort bit lot im look looking see try trying "
    "make makes made take takes happen happens happening come comes go goes going use using work works working "
    "during via upon okay ok allowed permitted permit he she him her his hers place till between within across per "
    "everybody everyone meaning must many much number amount total asked_time asked_date asked_day asked_month asked_year asked_weekday "
    "policy policies rules terms explain show say says said think question wonder wondering mean means meant because since while once though although"
)
"""Words that carry little of what is asked. Polarity, direction and kind of question are read before they go."""

IRREGULAR: Final = {
    form: row.split()[0]
    for row in (
        "keep kept", "hold held", "sell sold", "find found", "spend spent", "build built", "leave left", "pay paid", "buy bought",
        "bring brought", "think thought", "catch caught", "teach taught", "choose chose chosen", "break broke broken",
        "speak spoke spoken", "steal stole stolen", "freeze froze frozen", "write wrote written writing", "drive drove driven",
        "ride rode ridden", "give gave given giving", "forget forgot forgotten", "begin began begun beginning",
        "draw drew drawn", "grow grew grown", "know knew known", "throw threw thrown", "show showed shown", "fall fell fallen",
        "run ran running", "win won winning", "lend lent", "lose lost losing", "feel felt", "sleep slept", "meet met",
        "read reading", "understand understood", "stand stood", "become became", "wear wore worn", "tear tore torn",
        "eat ate eaten", "drink drank drunk", "sit sat", "send sent", "lead led", "feed fed", "hear heard", "hide hid hidden",
        "child children", "person people", "man men", "woman women", "foot feet", "half halves", "life lives", "shelf shelves",
        "maximum maximal maximally max", "minimum minimal minimally min", "colour color colors coloured colored",
        "organise organize organised organized", "centre center centers", "programme program programs",
        "personalise personalize", "customise customize customized customised", "favourite favorite favorites",
        "recognise recognize recognized recognised", "catalogue catalog catalogs", "analyse analyze analyzed analysed",
    )
    for form in row.split()[1:]
}  # fmt: skip
"""Forms that no suffix gives away, and other spellings -> the form that is compared."""

GENERIC_NAMES: Final = _words("vat csv pdf url crm erp sku id api sso saml eu iso soc faq tax gdpr app ok sms gps usb html json xml")
"""Capitalised by custom, not because they name one thing: having one of them on one side only decides nothing."""

SWITCHES: Final = frozenset({
    "on/off", "add/remove", "show/hide", "lock/unlock", "start/stop", "subscribe", "install", "open/close", "allow/forbid",
    "encrypt", "connect", "publish", "archive", "mute", "accept/decline", "gain/lose",
})  # fmt: skip
"""Axes on which the marked side undoes something, so that it is kin to a negation: "turn it off" is "I don't want it"."""

WHOLE: Final = _words("sold_out not_accepted not_correct not_go_through not_in not_connected not_reachable not_remember")
"""Phrases whose words do not stand for themselves."""

CONVERSES: Final = frozenset({"send/receive", "lend/borrow", "buy/sell"})
"""Axes whose sides say the same of two people: "you sent me" is "I received"."""

ROLE_WORDS: Final = {
    "from": "source", "leaving": "source", "to": "target", "into": "target", "onto": "target", "towards": "target",
    "toward": "target", "by": "agent", "than": "measure", "with": "with", "for": "for", "instead": "source",
    "of": "of", "before": "moment", "after": "moment", "at": "place", "in": "place", "on": "place",
}  # fmt: skip
"""Which part the noun after a preposition plays; a noun without one is the subject or the object by its place."""

CLAUSES: Final = _words("when if whether because while although though unless until since whenever so that which who what where and")
"""Words that begin another clause, in which the parts are given anew."""

INFINITIVES: Final = _words("how want like need able possible going have supposed trying try way would love prefer unable wish hope allowed do go")
"""Words after which "to" opens a verb, not a destination."""

MODIFIERS: Final = _words(
    "all every each whole entire both half only another second third other again instead extra additional without except "
    "together separate different same temporary temporarily permanent permanently automatic automatically manually always "
    "happens happen everyone everybody single"
)
"""Words that narrow or widen what is asked, so that one on one side alone may change the answer."""

PAST: Final = _words("was were did had been")
"""Signs that something is asked about what has happened."""
