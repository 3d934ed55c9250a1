"""The phrases that are understood, as patterns over a sentence in canonical words.

A sentence is lower-case words with one space between; things stand as <u> (URL), <f> (file), <q> (quoted), <d> (duration),
<n> (number), <e> (e-mail), <p> (path). Every repetition is bounded, so that no sentence makes a pattern slow.
"""

import re
from dataclasses import dataclass

STOPPING = (
    r"(?:stop|quit|exit|end|finish|disconnect|terminate|shut down|stop listening|stop receiving|close the connection)"
)
LISTENING = (
    r"(?:listen|listening|receive|receiving|collect|collecting|watch|watching|monitor|monitoring|connect|connecting|observe"
    r"|stay connected|run|keep listening|keep receiving|stay)"
)
_MAKE = (
    r"(?:create|build|generate|make|produce|auto-generate|auto generate|autogenerate|auto-create|creating|building|generating"
    r"|making|producing|auto-generating)"
)
_ADJECTIVES = (
    r"(?:(?:automatically|the|all|any|new|reusable|python|proven|llm|task|tasks|signalr|matching|necessary|needed|suitable"
    r"|appropriate|them|me|us|out|of|a|an|verified|from|it|into|incoming|corresponding|code|some) ){0,7}"
)
_WORKFLOW = r"(?:workflow )?(?:workflows?|nodes?|programs?)"
_NEVER = r"(?:do not|does not|not|never|should not|must not|will not|need not|can not)"
_WITHOUT = (
    r"(?:without|no|avoid|skip|skipping|disable|turn off|switch off|instead of|rather than|no need for|no need to)"
)
_WANT_NO = r"(?:do not|does not) (?:want|need|require)(?: you)?(?: to)?"
_TRAIN = r"(?:train|training|process|processing|learn|learning)"
_GENERATION = r"(?:(?:automatic |auto |auto-)?(?:workflow|node|code)s?[ -](?:generation|creation|building|generating))"
_TASKS_NOUN = (
    r"(?:the|all|any|every|each|incoming|new|these|those|them|it|tasks?|messages?|whatever|what|everything|llm)"
)
_TRAINED_ON = r"(?: (?:the|all|any|every|each|incoming|new|these|those|them|it|llm|signalr|tasks?|messages?|everything|you|get|receive|that|arrives?|comes?|in)){0,6}?"
_THINGS = (
    r"(?:(?:the|all|any|every|each|received|incoming|new|raw|of|them|it|everything|tasks?|messages?|data|results?|outputs?"
    r"|what|whatever|you|is|are|get|gets|receive|we|comes?|arrives?|arrive|arriving|in|that|which|from|hub|there|anything|i"
    r"|llm|signalr|also|a|copy|list|as|out|down|they|these|those|been|has|have|server|json|(?:from|at|of) <u>|to disk) ){0,10}?"
)
_SAVE = (
    r"(?:save|saving|store|storing|write|writing|dump|dumping|put|export|exporting|append|appending|record|recording|persist"
    r"|persisting|keep|output)"
)
_FILE = r"(?:the |a |an )?(?:local |json |jsonl |output )?(?:file |array )?(?:called |named |name |with the name |at |: |= )?"
_FOREVER = (
    r"(?:for ever|forever|indefinitely|permanently|endlessly|continuously|non-stop|nonstop|24/7|around the clock|all the time"
    r"|for an indefinite time|for an unlimited time|(?:without|with no) (?:any |a )?(?:time )?limit|no time limit"
    r"|(?:until|till|til) (?:(?:i|we|you) (?:(?:stop|cancel|kill|interrupt|end|abort|terminate|quit|halt)"
    r"(?: it| you| this| that| the program| listening)?|(?:press|hit|type|send)(?: a)? (?:ctrl|control)[+ -]c"
    r"|say(?: so| stop)?|tell you(?: to stop)?)|(?:stopped|cancelled|canceled|interrupted|killed|further notice)"
    r"|(?:it is |it's )?(?:stopped|cancelled|canceled|interrupted|killed)(?: by (?:me|hand|us))?|(?:ctrl|control)[+ -]c))"
)
_NAME = r"(?P<name>[^ ]+)"
_THEN_STOP = rf"(?: ,)?(?: and)?(?: then)? {STOPPING}(?: again| listening| receiving)?(?= [,.)(:=-]|$)"
_ABOUT = r"(?:about |around |approximately |roughly |exactly |precisely |a total of |the next |at most |up to |no more than |a maximum of |max |a duration of |a period of |another )?"
_VAGUE = (
    r"(?:a|quite a|a little|a short) while|awhile|some time|a (?:little )?bit|a little|a moment|briefly|(?:a )?long time|overnight"
    r"|for now|all (?:day|night|week|weekend)|(?:a |the next |another )?(?:few|several|some|couple of|couple|many)"
    r" (?:seconds|secs|minutes|mins|hours|days|weeks|months)|(?:a|one|two|three|four|five|six|<n>) months?"
)
_SIGN_IN = r"(?:an |a |the |my |our )?(?:access |bearer |auth |api )?(?:tokens?|passwords?|credentials?|authentication|auth|login|secrets?)"


@dataclass(frozen=True, slots=True)
class Rule:
    """One phrase: what it says, and how it looks."""

    kind: str
    pattern: re.Pattern[str]


_TABLE: tuple[tuple[str, str], ...] = (
    # how long
    (
        "duration",
        rf"(?:(?:just|only) )?for {_ABOUT}<d>(?: only| straight| in total| altogether| from now(?: on)?)?(?:{_THEN_STOP})?",
    ),
    ("duration", r"(?:for|over|during) the next (?:minute|hour|day|week)"),
    ("duration", r"(?:for|over|during) the (?:next|coming|following) <d>"),
    ("duration", rf"{LISTENING} {_ABOUT}<d>(?: long)?(?:{_THEN_STOP})?"),
    (
        "duration",
        rf"{STOPPING}(?: (?:again|listening|receiving|it|everything|yourself))?(?: automatically)? after {_ABOUT}<d>",
    ),
    (
        "duration",
        rf"(?:and )?after {_ABOUT}<d>(?: ,)?(?: then)?(?: please)? {STOPPING}(?: again| listening| receiving)?(?= [,.)(:=-]|$)",
    ),
    (
        "duration",
        r"(?:for )?(?:a |the )?(?:total |max |maximum |run |running |listening |session )?(?:duration|run ?time|time limit|length|session length)(?: limit)?(?: of| is| should be| must be| to)?(?: [:=])? <d>",
    ),
    ("duration", r"duration[_-]seconds (?:[:=] )?(?:<d>|<n>)"),
    ("duration", r"duration = <n>"),
    (
        "duration",
        r"(?:for )?(?:a |an |one )?<d>(?: long)? (?:session|run|window|stretch|listening session|training session)",
    ),
    (
        "duration",
        rf"(?:it|this|the (?:session|run|whole thing)) (?:should|shall|must) (?:last|run|go on) (?:for )?{_ABOUT}<d>",
    ),
    ("bare_duration", rf"<d>(?: long| please| only| max| in total| total)?(?:{_THEN_STOP})?"),
    ("forever", _FOREVER),
    ("forever", r"(?:and )?(?:do not|never) stop(?: (?:listening|receiving))?(?= [,.)(]|$)(?! until)"),
    # whether to make workflows
    ("make", rf"{_MAKE} {_ADJECTIVES}{_WORKFLOW}"),
    (
        "make",
        rf"(?:turn|turning|convert|converting|transform) (?:(?:the|all|each|every|any|them|it|these|incoming|new|received) )?(?:(?:llm|signalr) )?(?:tasks? )?(?:automatically )?(?:in)?to (?:a |an |python |reusable )?{_WORKFLOW}",
    ),
    (
        "make",
        rf"(?:with|enable|enabling|turn on|switch on|activate|including|include) (?:the )?{_GENERATION}(?: (?:on|enabled|please))?",
    ),
    ("make", rf"{_GENERATION} (?:is |should be |must be |: |= )?(?:on|enabled|yes|true|wanted|switched on|turned on)"),
    ("make", r"(?:auto[_-]generate[_-]workflows?|workflows?) (?:[:=] )(?:on|yes|true)"),
    (
        "make",
        rf"(?:train(?: (?:on|with|from|using|by))?{_TRAINED_ON}|training(?: (?:on|with|from|using){_TRAINED_ON})?)(?= (?:[,.)(:=-]|and|for|with|on|from|at|then|until|to|using|via|over|<u>|<q>|<d>)(?: |$)|$)",
    ),
    (
        "make",
        r"(?:start|begin|run|do|perform|launch|kick off) (?:a |an |the |some )?(?:signalr |llm |task |workflow |hub )?training(?: session| run)?",
    ),
    ("make", r"(?:a )?(?:signalr |llm |workflow )?training (?:session|run)"),
    ("make", rf"(?:i|we) (?:would like|would love|want|need)(?: to have| to get| to see)? {_ADJECTIVES}{_WORKFLOW}"),
    (
        "make",
        rf"(?:process|processing|work through|work off|learn from|learning from) (?:{_TASKS_NOUN} ){{0,4}}(?:tasks?|messages?|them|it|everything|each one|every one)(?: (?:that|which|you|it|get|gets|receive|receives|arrives?|comes?|in|as|they|arrive|come|on|arrival)){{0,5}}",
    ),
    (
        "no_make_verb",
        rf"(?:{_NEVER}|{_WANT_NO}) (?:(?:auto|automatically|try to|start to|yet|ever|actually|have to|bother to) )?{_MAKE}(?: {_ADJECTIVES}(?:{_WORKFLOW}|anything|them|it)(?= |$))?",
    ),
    (
        "no_make_verb",
        rf"(?:{_NEVER}|{_WANT_NO}) (?:automatically )?(?:train|process|learn|start training)(?: (?:on|from|with))?(?: (?:{_TASKS_NOUN} ){{0,3}}(?:tasks?|messages?|them|it|anything|everything))?",
    ),
    (
        "no_make",
        rf"(?:{_WITHOUT}|{_WANT_NO})(?: any| the| automatic| auto)?(?: new)? (?:{_MAKE}(?: {_ADJECTIVES}(?:{_WORKFLOW}|anything|them|it))?|{_GENERATION}|{_WORKFLOW}|(?:signalr |llm )?{_TRAIN}(?: (?:on |from |with )?(?:{_TASKS_NOUN} ){{0,3}}(?:tasks?|messages?|them|it|anything|everything))?|generation)(?= |$)",
    ),
    ("no_make", rf"{_MAKE} (?:no|zero) (?:new )?{_WORKFLOW}"),
    (
        "no_make",
        rf"(?:with )?(?:the )?{_GENERATION} (?:is |should be |must be |: |= )?(?:off|disabled|no|false|not wanted|unwanted|not needed|switched off|turned off)",
    ),
    ("no_make", r"(?:auto[_-]generate[_-]workflows?|workflows?|training) (?:[:=] )(?:off|no|false|none)"),
    ("no_make", rf"(?:no|without) {_WORKFLOW} (?:please|needed|necessary|required|wanted)"),
    (
        "receive_only",
        r"(?:just|only|merely|purely|(?:do )?nothing but)(?= (?:to )?(?:listen|listening|receive|receiving|collect|collecting|watch|watching|monitor|monitoring|record|recording|log|observe|observing|save|saving|store|storing)(?: |$))",
    ),
    ("receive_only", r"(?:listen|listening|receive|receiving|collect|watch|monitor|read)[ -]only(?: mode)?"),
    # where to write the tasks
    ("output", rf"(?:also )?{_SAVE} {_THINGS}(?:to|into|in|as|under|at) {_FILE}<f>(?: file| too| as well)?"),
    (
        "output",
        r"(?:the )?(?:output|output[_-]file)(?: file)?(?: (?:to|into|in|is|goes to|should go to|should be|must be|:|=|should be written to))? (?:the |a )?(?:file )?<f>",
    ),
    ("output", r"(?:use|using|with|take) (?:the )?(?:file )?<f> (?:as|for)(?: the| your)?(?: json)? output(?: file)?"),
    ("output", r"(?:with|and) (?:the |an )?output(?: file)? (?:to |in |into |= |: )?<f>"),
    (
        "output",
        r"(?:the )?(?:tasks?|messages?|everything|they|it|all of it|all tasks) (?:should|shall|must|will|are to|is to) (?:all )?(?:be )?(?:saved|stored|written|go|end up|land) (?:to|into|in) (?:the )?(?:file )?<f>",
    ),
    ("output", rf"(?:collect|collecting|receive|receiving) {_THINGS}(?:to|into) {_FILE}<f>(?: file)?"),
    ("output", rf"into {_FILE}<f>(?: file)?"),
    ("output", r"to (?:the |a )(?:json |output )?file (?:called |named |: )?<f>"),
    (
        "output",
        rf"(?:log|logging) (?:(?:all|the|every|each|received|incoming|of|llm) ){{0,4}}(?:tasks?|messages?|everything|them) (?:to|into|in) {_FILE}<f>",
    ),
    (
        "no_output",
        r"(?:(?:do not|never|without|no|no need to) (?:save|saving|store|storing|write|writing)(?: (?:the|any|anything|tasks?|them|it|to disk|to a file|to file|to any file)){0,4}|(?:no|without|without an|without any) output(?: files?)?(?: please| needed)?)(?= |$)",
    ),
    # the client method that the hub calls
    (
        "hub_name",
        rf"(?:the |a )?(?:hub[ _-]|client )(?:context|method|name|event)(?: name)?(?: is)? (?:called|named|[:=]) {_NAME}(?: (?:context|method|hub))?",
    ),
    ("hub_name", rf"(?:the |a )?(?:context|method|event)(?: is)? (?:called|named) {_NAME}"),
    ("hub_named", rf"(?:the |a )?(?:hub|context|method|event)(?: is)? [:=] {_NAME}"),
    ("hub_named", rf"hub[ _-](?:context|name|method)(?: name)?(?: is| to be)? {_NAME}(?: (?:context|method|hub))?"),
    ("hub_name", rf"<u> (?:called|named) {_NAME}"),
    (
        "hub_named",
        rf"(?:subscribe|subscribing|subscribed) (?:to|on|for) (?:the )?{_NAME} (?:hub context|context|hub|method|event|events)",
    ),
    (
        "hub_name",
        rf"(?:the |my |our |a )?hub (?:is )?(?:called|named|with the name|with name|by the name of|whose name is)(?: [:=])? {_NAME}",
    ),
    (
        "hub_named",
        rf"(?:listen|listening|subscribe|subscribing|subscribed) (?:to|on|for) (?:the )?(?:client |hub )?(?:method|event|context) {_NAME}",
    ),
    ("hub_named", rf"(?:hub|context|method|client method|event)(?: (?:is|name|name is))? {_NAME}"),
    ("hub_named", rf"(?:the |a |my |our )?{_NAME} (?:hub context|context|method|client method|event|events)"),
    ("hub_quoted", r"(?:the |my |our )?(?P<name><q>) hub"),
    ("hub_suffix", r"(?:to |on |from |of |at |via |over |join |hub )?(?:the )?(?P<name>[a-z0-9_]{1,100}hub)(?: hub)?"),
    (
        "hub_quoted",
        r"(?:listen|listening|subscribe|subscribing) (?:to|on|for) (?:the )?(?P<name><q>)(?: hub| context| method| event| events)?",
    ),
    (
        "listen",
        r"(?:also|additionally) (?:listen|subscribe) (?:to|for|on) (?:the )?(?:method |event |client method |context )?(?P<name>[^ ]+)(?: too| as well| method| event)?",
    ),
    (
        "subscribe",
        r"(?:and |then )?(?:call|invoke|calling|invoking) (?:the )?(?:hub )?(?:method )?(?P<method>[^ ]+) with (?:the )?(?:argument |name )?(?P<name>[^ ]+)(?: (?:after|on|upon|once|every time it) (?:connecting|connect|connects|every connect|connection|connected|you connect|you are connected|you have connected))?",
    ),
    (
        "subscribe",
        r"(?:and |then )?(?:call|invoke|calling|invoking) (?:the )?(?:hub )?(?:method )?(?P<method>[^ ]+) (?:after|on|upon|once) (?:connecting|connect|every connect|connection|connected|you connect|you are connected|you have connected)",
    ),
    # model, client library, token file
    (
        "llm_off",
        r"(?:(?:without|with no|no|do not use|without using|never use) (?:a |an |any |the )?(?:llms?|language models?|models?|ai)|llm (?:is |should be )?(?:[:=] )?off)(?= |$)",
    ),
    ("llm_required", r"(?:llm|a model|a language model) (?:is |should be |: |= )?required(?= |$)"),
    (
        "client",
        r"(?:use|using|with|via|through) (?:the )?(?:client (?:library )?)?(?P<name>signalrcore|pysignalr)(?: client)?(?: library)?",
    ),
    (
        "token_file",
        rf"(?:with |using |use |and |take |read )?(?:{_SIGN_IN}|access_token|access_token_file)(?: (?:is|stands|lies|from|in|file|: |=|:|the|a|at|which)){{1,5}} (?P<name><f>|<p>|<q>)",
    ),
    (
        "no_token",
        rf"(?:(?:it|the hub|we|you|i) )?(?:do not need|does not need|do not require|does not require|no|needs no|has no|have no|with no|requires no|without)(?: any| a| an)? {_SIGN_IN}(?: (?:is )?(?:needed|required|necessary))?(?= [,.)(]|$)",
    ),
    # other addresses
    (
        "reference",
        r"(?:\( )?(?:as )?(?:see|docs?|documentation|described|documented|readme|details|more info|more information|more details|background|for more info|for reference|for details|for background|for documentation|reference)(?: (?:is|are|at|in|on|here|also|the|our|:|=|docs|documentation|for|page|can|be|found|more|details|info|under|see)){0,7} <u>(?: for (?:more |further )?(?:details|info|information|reference|background))?",
    ),
    (
        "contact",
        r"(?:contact|questions|question|my email|my email address|email|reach me|contact me|ask)(?: (?:to|me|at|us|is|in|case|of|problems|questions|for|:|=|are|if|any)){0,6} <e>",
    ),
    ("contact", r"(?:cheers|thanks|regards|best regards|best|kind regards|yours)(?: ,)? <e>"),
    # politeness and ways to say "connect"
    ("ok", r"(?:thank you|thanks)(?: (?:very much|so much|in advance|a lot|a million))?"),
    (
        "ok",
        r"(?:many thanks|good (?:morning|afternoon|evening|day)|best regards|kind regards|yours sincerely|much appreciated|if you (?:could|can|would|please)|if (?:it is )?possible|when you can|be so kind(?: as)?(?: to)?|would you mind|do me a favou?r(?: and)?|go ahead(?: and)?|make sure(?: to| that you| you| that)?|do not (?:forget|hesitate) to|feel free to|be sure to|i was wondering if you could|as well|right (?:now|away)|straight away|of course|at once|real time|at the same time|by the way|my friend|dear (?:code evolver|assistant|bot|computer))",
    ),
    (
        "ok",
        r"(?:i|we) (?:would|will|want|need|like|have|got|are|am|going|to|you|us|just|had)(?: (?:like|want|love|need|to|you|us|got)){0,3}",
    ),
    (
        "ok",
        r"(?:open|establish|set up|make|create|start|build)(?: up)? (?:a |the |an )?(?:new )?(?:websocket |signalr |web socket )?connection",
    ),
    (
        "ok",
        r"(?:start|begin|starting|go|keep|keep on|continue|stay)(?: by| on| with)? (?:listening|receiving|collecting|watching|monitoring|connecting|connected|running|to listen|to receive|observing|up)",
    ),
    ("ok", r"(?:tasks|messages|everything|all) received"),
    ("ok", r"keep (?:it|the connection|the line) (?:open|up|alive)"),
    ("ok", r"run(?= (?:for|against|on|with) )"),
    ("ok", r"start(?= by | <u>| now)"),
    (
        "ok",
        r"(?:local|remote|test|testing|staging|production|prod|dev|development|demo|company|company's|team's|internal|main)(?= (?:task |signalr |signal r )?(?:hub|server|endpoint))",
    ),
    ("ok", r"(?:(?:local|remote|task|signal r|real-time|websocket) )(?:hub|server|endpoint)"),
    ("ok", r"hook (?:yourself |me |us )?(?:up )?(?:to|into)"),
    ("ok", r"(?:log|sign|dial) (?:in|on) to(?= (?:the )?(?:hub|<u>))"),
    (
        "ok",
        r"(?:while|whilst|by)(?= (?:creating|building|generating|making|producing|training|processing|saving|storing|writing) )",
    ),
    (
        "ok",
        r"(?:as|when|once|while) (?:they|it|tasks|the tasks|messages) (?:arrives?|comes?|come in|are received|is received|comes in)",
    ),
    (
        "ok",
        r"(?:for|from|of) (?:each|every|all|any) (?:of )?(?:the )?(?:new |incoming |received )?(?:task|tasks|message|messages|one|them)(?: received| (?:you|it|we|that|which) (?:get|gets|receive|receives|arrives?|comes? in|arrive))?",
    ),
    ("ok", r"(?:do|does|doing) (?:it|this|that|so)(?= (?:for|,|and|with|at|on|please|<|now)|$)"),
    (
        "ok",
        r"(?:received|receives|gets?|sending|pushing|publishing|handing out) (?:tasks|llm tasks|messages|them|it|everything)",
    ),
    ("ok", r"(?<!all )(?<!everything )(?<!anything )(?<!any )(?<!every )but(?= )"),
    (
        "ok",
        r"but (?:please )?(?=(?:do not|without|only|just|no|never|also|save|store|write|create|generate|build|for) )",
    ),
    ("ok", r"(?<=but )only(?= for <d>)"),
    ("ok", r"only(?= for <d>)"),
    ("ok", r"the (?:hub|server|address|url|endpoint)(?: (?:is|lives|runs|sits|listens|can be reached))"),
    ("ok", r"(?:nothing|not anything) (?:else|more)(?= [,.)]|$)"),
    ("ok", r"that is (?:all|it)(?= [,.)]|$)"),
    ("ok", r"in the (?:background|meantime|process)"),
    ("ok", r"(?:llm|signalr|ai|hub|signal r) (?:tasks?|messages?|jobs?|requests)"),
    ("ok", r"(?:i have|we have|there is) (?:a |an |our |my )?(?:signalr |task )?(?:hub|server)"),
    ("refused_time", rf"(?:for |in )?(?:as long as(?: [^ ]+){{1,3}}|{_VAGUE})"),
    ("refused_time", r"(?:from |by |at )?(?:tomorrow|tonight|noon|midnight)(?: morning| evening| night)?"),
    ("refused_time", r"(?:until|till|til|'til|up until)(?: [^ ]+){0,4}"),
    ("negative_time", r"(?:for )?-[0-9][0-9.]{0,20} ?(?:[a-z]{1,12})?"),
    ("negative_time", r"(?:for )?(?:minus|negative) <d>"),
    ("negative_time", r"duration(?:[_-]seconds)? [:=] -[0-9.]{1,20}"),
)
RULES = tuple(Rule(kind, re.compile(pattern + r"(?= |$)")) for kind, pattern in _TABLE)
KNOWN_WORDS = frozenset(word for _, pattern in _TABLE for word in re.findall(r"[a-z]{2,}", pattern))
"""Words of the patterns: none of them, unquoted, is a hub's name."""
