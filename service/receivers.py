"""Whether a webhook may go to a URL, as far as can be said before its name is resolved."""

from models.addresses import Refused, hosts_of, require_allowed, target_of
from models.definitions.job import JobDefinition
from models.errors import InvalidDefinition
from service.context import context

HINT = "Take a receiver with a public address and https, or have its host put into DESCENT_WEBHOOK_HOSTS."


def require_callback(definition: JobDefinition) -> None:
    """
    Raises:
        InvalidDefinition: it has one that may not be called.
    """
    if definition.callback:
        require_receiver(definition.callback.url, "/callback/url")


def require_receiver(url: str, pointer: str) -> None:
    """
    Raises:
        InvalidDefinition: it may not.
    """
    try:
        require_allowed(target_of(url), hosts_of(context().settings.webhook_hosts))
    except Refused as refused:
        raise InvalidDefinition.at(pointer, "receiver_not_allowed", str(refused), HINT) from None
