"""Vocabulary: words that may stand anywhere without a meaning of their own, contractions, cues beside a URL, secrets.

A word belongs into HARMLESS only when leaving it out of any request changes nothing: no negation, no condition, no
number, no time, nothing that picks some tasks out of all.
"""


def words(text: str) -> frozenset[str]:
    """Give the words of a text."""
    return frozenset(text.split())


HARMLESS = words(
    """
    grab grabbing pull pulling
    🙂 😀 😊 🙏 👍 🚀 ✨ 🎉
    please pls plz kindly hi hello hey dear thanks thank thx cheers regards greetings ok okay well i we us me
    my our you your they them it its this that these those which the a an here there could can would will want
    wants need needs like love am are is be have has and then also now so to at with from on in of for via
    over using use as into hub hubs signalr asp.net aspnet .net net core server service endpoint url address
    connection host uri hub_url hub-url let task tasks message messages job jobs item items llm incoming new
    arriving arrive arrives come comes coming get gets getting fetch all any every each everything whatever
    what stream connect connecting listen listening receive receiving collect collecting watch watching
    monitor monitoring attach join observe subscribe sends sent pushes pushed publishes published provides
    emits emitted delivers delivered running located hosted reachable available found following simply just
    live realtime real-time immediately automatically against
    """
)
"""Words that pass without a meaning of their own."""

CONTRACTIONS = {
    "don't": "do not", "dont": "do not", "doesn't": "does not", "doesnt": "does not", "didn't": "did not",
    "won't": "will not", "wont": "will not", "can't": "can not", "cannot": "can not", "shouldn't": "should not",
    "mustn't": "must not", "needn't": "need not", "isn't": "is not", "aren't": "are not", "wouldn't": "would not",
    "i'd": "i would", "we'd": "we would", "i'll": "i will", "we'll": "we will", "you'll": "you will", "i'm": "i am",
    "we're": "we are", "i've": "i have", "we've": "we have", "let's": "let us", "lets": "let us", "it's": "it is",
    "that's": "that is", "there's": "there is", "hub's": "hub is", "&": "and", "w/o": "without", "e-mail": "email",
    "they're": "they are", "what's": "what is", "here's": "here is",
}  # fmt: skip

HUB_CUES = words(
    """
    connect connecting connection listen listening attach attached join subscribe receive receiving collect
    collecting watch watching monitor monitoring observe hub server endpoint url uri address signalr host from
    use using service
    """
)
"""The nearest of these before a URL says that it is the hub's."""

OTHER_CUES = words(
    """
    export exporting dump dumping put append appending record recording persist persisting log logging output
    see doc docs documentation documented described guide guides readme wiki page website homepage ticket
    issue info information details reference source repo repository code manual instructions background report
    reports reporting post send forward webhook proxy callback save saving write writing store storing upload
    mirror copy publish push notify tell dashboard grafana swagger not except never instead ignore avoid
    unlike
    """
)
"""The nearest of these before a URL says that it is not the hub's."""

SECRETS = words(
    """
    pw passcode
    token tokens bearer password passwd pwd passphrase secret secrets apikey credential credentials jwt
    authorization login auth authentication
    """
)
"""Words that go with a token or password ("api key" is looked for beside them)."""

PRODUCTS = words(
    """
    javascript typescript powershell postgresql mysql mongodb rabbitmq youtube linkedin nodejs macos ios
    signalr github gitlab asp.net aspnet json llm llms openai chatgpt devops websocket websockets github
    dockerhub signalrhub
    """
)
"""Names that look like a hub's and are none."""
