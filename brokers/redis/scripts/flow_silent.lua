#!lua flags=allow-oom
-- flow_silent: end a flow run whose process sends no beats any more.
-- args: { flow run, lease ms, ttl ms, {field, value, ...}, type of its state }
-- returns: 1 if it was ended, 0 if it goes on, has ended, or its record has expired
-- needs: journal flow_records children
local id, lease, ttl, fields, state_type = unpack(args)
local last_beat = score('flows', id)
if not last_beat or number(last_beat, 0) > now - lease then return cmsgpack.pack(0) end
drop('flows', id)
if not look(P .. 'f:' .. id, 'type')[1] then return cmsgpack.pack(0) end
set_facts(P .. 'f:' .. id, unpack(fields))
keep_flow(P .. 'f:' .. id, ttl)
note_end_of_parent(id, state_type)
changed_flow(id, state_type)
write_journal()
return cmsgpack.pack(1)
