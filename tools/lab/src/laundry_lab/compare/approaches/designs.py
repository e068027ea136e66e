"""The designs that are compared, in the order of DD-02."""

from laundry_lab.compare.approaches import event_store, ours, table, zeromq

DESIGNS = {
    each.name: each
    for each in (
        ours.DESIGN,
        zeromq.DESIGN,
        event_store.DESIGN,
        table.POLL_5,
        table.POLL_1,
        table.NOTIFY,
    )
}
