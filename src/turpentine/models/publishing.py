"""Upload a folder to the Hugging Face hub. Nothing is sent unless somebody calls this."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled

from turpentine.core.errors import BadArgument, UploadError
from turpentine.core.library_errors import first_line
from turpentine.models.loading.quiet_logging import quiet
from turpentine.models.loading.safe_reading import NoNetwork


def publish(
    write: Callable[[Path], None], repo_id: str, *, private: bool, token: str | None, message: str | None
) -> str:
    """Write a folder aside and upload all that is in it, in one commit.

    Args:
        write: Writes the folder, which does not exist yet.
        repo_id: The repository on the hub, such as "me/no-church"; it is created if it is not there.
        private: Is a repository that is created to be seen by its owner only?
        token: Of the hub; by default that of `hf auth login` or the environment.
        message: Of the commit.

    Returns:
        The address of the repository.

    Raises:
        BadArgument: That is no name of a repository.
        UploadError: There is no token, no network, or the hub refuses.
    """
    from huggingface_hub import HfApi

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id):
        raise BadArgument(f"{repo_id!r} is no repository of the hub: give owner and name, such as 'me/no-church'.")
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside) / "upload"
        write(folder)
        api = HfApi(token=token, library_name="turpentine")
        try:
            with quiet():
                url = api.create_repo(repo_id, private=private, exist_ok=True)
                api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message or "Upload by Turpentine")
        except (NoNetwork, OfflineModeIsEnabled, HFValidationError, OSError, RuntimeError, ValueError) as error:
            raise UploadError(
                f"{repo_id} could not be uploaded: {first_line(error).rstrip('.')}. Check the token (`hf auth login`) "
                "and the network."
            ) from error
    return str(url)
