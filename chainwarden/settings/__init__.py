"""One ``Settings``: from ``chainwarden.toml``, then ``CHAINWARDEN_*`` variables, then flags.

The later is the stronger. A key is ``section.key`` in the file (``[bus] kind = "kafka"``) and
``CHAINWARDEN_SECTION_KEY`` in the environment (``CHAINWARDEN_BUS_KIND=kafka``; lists are separated
by commas). A misspelt key or variable is an error that names the nearest right one. Secrets are
``Secret`` values, which show as ``***`` wherever they are printed.
"""

from chainwarden.settings.chain import configured_chain
from chainwarden.settings.reading import PREFIX, load_settings
from chainwarden.settings.sections import (
    AlertSettings,
    BusSettings,
    DetectSettings,
    LabelSettings,
    ModelSettings,
    ReceiverSettings,
    Secret,
    ServerSettings,
    Settings,
    SourceSettings,
    StoreSettings,
    WebhookSettings,
    shown_url,
)

__all__ = [
    "PREFIX",
    "AlertSettings",
    "BusSettings",
    "DetectSettings",
    "LabelSettings",
    "ModelSettings",
    "ReceiverSettings",
    "Secret",
    "ServerSettings",
    "Settings",
    "SourceSettings",
    "StoreSettings",
    "WebhookSettings",
    "configured_chain",
    "load_settings",
    "shown_url",
]
