"""Settings: one YAML file per node, read once, checked whole, frozen afterwards.

The only room that reads configuration files and the environment. Knows yaml, pydantic and the
errors of core; must not know MongoDB, S3 or what anybody does with a setting.
"""

from agent.settings.document import (
    BackupSettings,
    CompressionSettings,
    ControlSettings,
    LogSettings,
    MetricsSettings,
    MongodbSettings,
    OplogSettings,
    Settings,
)
from agent.settings.encryption import EncryptionSettings
from agent.settings.exposure import exposures
from agent.settings.load import (
    CONFIG_VARIABLE,
    DEFAULT_CONFIG,
    URI_VARIABLE,
    config_path,
    load,
    process_environment,
)
from agent.settings.notices import HooksSettings, NotifySettings
from agent.settings.storage import (
    CredentialSettings,
    FilesystemSettings,
    RetrySettings,
    RoleSettings,
    S3Settings,
    StorageSettings,
)

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT_CONFIG",
    "URI_VARIABLE",
    "BackupSettings",
    "CompressionSettings",
    "ControlSettings",
    "CredentialSettings",
    "EncryptionSettings",
    "FilesystemSettings",
    "HooksSettings",
    "LogSettings",
    "MetricsSettings",
    "MongodbSettings",
    "NotifySettings",
    "OplogSettings",
    "RetrySettings",
    "RoleSettings",
    "S3Settings",
    "Settings",
    "StorageSettings",
    "config_path",
    "exposures",
    "load",
    "process_environment",
]
