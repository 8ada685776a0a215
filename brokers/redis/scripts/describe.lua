#!lua flags=allow-oom
-- describe: note facts about a worker or a flow run, which are forgotten after a while.
-- args: { key, ttl ms, {field, value, ...}, {flow run, type and name of its state} or nothing: the entry of the journal }
-- returns: nothing
-- needs: journal flow_records worker_events
local key, ttl, fields, entry = unpack(args, 1, 4)
for first = 1, #fields, 1000 do
  set_facts(key, unpack(fields, first, math.min(first + 999, #fields)))
end
keep_flow(key, ttl)
local consumer = string.sub(key, 1, #P + 7) == P .. 'worker:' and string.sub(key, #P + 8)
if consumer then
  local inbox, name = unpack(look(key, 'inbox', 'name'))
  worker_is_there(worker_of(consumer, inbox), name)
  write_events()
end
if entry then
  changed_flow(unpack(entry, 1, 3))
  write_journal()
end
return cmsgpack.pack(0)
