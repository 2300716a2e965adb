// Opened from a folder, a page may not read other pages: results of a search are shown without an extract.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
