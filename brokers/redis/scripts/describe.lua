#!lua flags=allow-oom
-- describe: note facts about a worker or a flow run, which are forgotten after a while.
-- args: { key, ttl ms, {field, value, ...}, {flow run, state type} or nothing: what the journal is told }
-- returns: nothing
local key, fields = args[1], args[3]
for first = 1, #fields, 1000 do
  redis.call('HSET', key, unpack(fields, first, math.min(first + 999, #fields)))
end
redis.call('PEXPIRE', key, args[2])
if args[4] then redis.call('XADD', P .. 'journal', '*', 'f', cmsgpack.pack(args[4])) end
return cmsgpack.pack(0)
