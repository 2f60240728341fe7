"""From batches of blocks to features, scores and alerts."""

from detect.river_packages import defer

defer()  # before any module imports from River
