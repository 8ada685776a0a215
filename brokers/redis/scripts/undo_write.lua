#!lua flags=allow-oom
-- undo_write: what has to be undone if the process of a run dies: the first entries stay, others follow them.
-- args: { run, ticket of its delivery ('': whoever writes), how many stay, { entry, ... }, ttl ms }
-- returns: 1, or 0 if another delivery has the run by now: nothing was written
-- needs: blocks
local id, ticket, stay, entries, ttl = unpack(args)
local key = P .. 'txn:' .. id
local current = look(record(id), 'e')[1] -- a call of a block has a record from here on: its end has to look at its log
if ticket ~= '' and current and current ~= ticket then return cmsgpack.pack(0) end
local reply = stay > 0 and redis.pcall('LTRIM', key, 0, stay - 1)
if not reply or reply.err then redis.call('DEL', key) end -- something else is in its place: what it held is lost already
for first = 1, #entries, 1000 do
  redis.call('RPUSH', key, unpack(entries, first, math.min(first + 999, #entries)))
end
redis.call('PEXPIRE', key, ttl)
return cmsgpack.pack(1)
