import pytest

from code_evolver.core import hub_address
from code_evolver.core.errors import HubRefused


@pytest.mark.parametrize(
    ("url", "negotiate", "socket"),
    [
        ("http://h/hub", "http://h/hub/negotiate?negotiateVersion=1", "ws://h/hub?id=a%2Fb"),
        ("WSS://me:pw@H:5/hub/?x=1&negotiateVersion=0#f", "https://H:5/hub/negotiate?x=1&negotiateVersion=1", "wss://H:5/hub/?x=1&negotiateVersion=0&id=a%2Fb"),
        ("ws://[::1]:5000", "http://[::1]:5000/negotiate?negotiateVersion=1", "ws://[::1]:5000/?id=a%2Fb"),
    ],
)  # fmt: skip
def test_where_to_negotiate_and_where_to_open_the_socket(url, negotiate, socket):
    assert hub_address.negotiate_url(url) == negotiate
    assert hub_address.socket_url(url, "a/b") == socket


@pytest.mark.parametrize(
    "url", ["", "ftp://h/x", "http://", "h:5000/x", "http://h:99999/", "http://h:0/", "http://[::1/"]
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(HubRefused, match="no address"):
        hub_address.split(url)


def test_an_address_is_shown_without_its_secrets():
    assert hub_address.public_url("http://me:pw@h:1/hub?a=b%20c#f") == "http://h:1/hub?a=b%20c"
    assert hub_address.public_url("https://h/?access_token=S&room=1&Api-Key=S&sig=S") == "https://h/?room=1"


def test_origin_decides_who_may_see_a_token():
    assert hub_address.origin("ws://H/x") == hub_address.origin("http://h:80/y")
    assert hub_address.origin("https://h") != hub_address.origin("http://h")
    assert hub_address.user("http://a%40b:p%3A@h") == ("a@b", "p:")
    assert hub_address.user("http://h") is None
    assert hub_address.classic_urls("http://h/signalr/hubs") == (
        "http://h/signalr/hubs/negotiate?clientProtocol=2.1", "http://h/signalr/negotiate?clientProtocol=2.1"
    )  # fmt: skip
