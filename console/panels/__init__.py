"""The panels of the console. Each is built from a RunView, reads nothing else, and draws itself anew when
`refresh_view()` says that the state has changed."""
