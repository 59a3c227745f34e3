#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Fetches what configs/sources pins for NAME ($1), or finds a version to be taken in its place. Runs in the build root.
set -u
. "$TOP/scripts/lib/common.sh"
. "$TOP/scripts/lib/source.sh"
. "$TOP/scripts/lib/overlay.sh"

choose_source "$1"
