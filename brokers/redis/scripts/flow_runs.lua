#!lua flags=allow-oom
-- flow_runs: note how flow runs stand.
-- args: { ttl ms, { {flow run, {field, value, ...}, type of its state, whether it goes on, only if new, name of its state}, ... } }
--   only if new: nothing is known of it yet, and it has not ended as a call
-- returns: nothing
-- needs: journal flow_records children
local ttl, rows = unpack(args)
for _, row in ipairs(rows) do
  local id, fields, state_type, goes_on, only_if_new, name = unpack(row, 1, 6)
  local key = P .. 'f:' .. id
  if not only_if_new or not (look(key, 'type')[1] or SETTLED[look(record(id), 's')[1] or '']) then
    set_facts(key, unpack(fields))
    keep_flow(key, ttl)
    if goes_on then
      put('flows', now, id)
    else
      drop('flows', id)
    end
    changed_flow(id, state_type, name)
    note_end_of_parent(id, state_type)
  end
end
write_journal()
return cmsgpack.pack(0)
