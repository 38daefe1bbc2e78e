"""The project's figures on anyone's machine: tables in and out of memory, calls, shuffles, and the selector.

Who takes part is declared in `contestants`; what is measured, and how fairly, is the parts' (`io`, `tasks`, `shuffle`,
`selection`); `results` is what they leave, `report`, `charts` and `compare` what people look at.
"""

from __future__ import annotations
