"""Options of the spool (`[spool]`): where accepted mail is kept until it is delivered.

The spool lies in `data_dir`/spool. Units are those of model/option.py.
"""

from pydantic import Field

from postroad.model.option import Duration, Settings, Size


class SpoolSettings(Settings):
    """How accepted mail is kept."""

    free_space: Size = Field(
        "200MiB",
        description="Below this much free disk space new mail gets 452 4.3.1; what was accepted is still delivered.",
        ge=0,
    )
    inline_size: Size = Field(
        "256KiB",
        description="Content above this size goes into a file of its own while it arrives.",
        ge=4096,
        le=16 << 20,
    )
    segment_size: Size = Field(
        "64MiB", description="Size at which a journal segment is closed and the next one begun.", ge=1 << 16, le=4 << 30
    )
    index_interval: Duration = Field(
        "500ms", description="How often accepted mail that is still waiting is entered into the index.", ge=0.01, le=60
    )
