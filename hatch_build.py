"""The project's addresses in a built package: those of the place it is built at.

The hosting service says where it builds; a copy that is built elsewhere names none.
"""

import os
from collections.abc import Mapping
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


def addresses_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Label and address, as the workflows publish them."""
    server = environment.get("GITHUB_SERVER_URL")
    repository = environment.get("GITHUB_REPOSITORY")
    if not server or not repository:
        return {}
    owner, _, name = repository.partition("/")
    source = f"{server}/{repository}"
    return {
        "Documentation": f"https://{owner.lower()}.github.io/{name}/",
        "Source": source,
        "Issues": f"{source}/issues",
        "Changelog": f"{source}/blob/main/CHANGELOG.md",
    }


class Addresses(MetadataHookInterface):
    """What hatchling asks for the fields that pyproject.toml calls dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the addresses."""
        metadata["urls"] = addresses_of(os.environ)
