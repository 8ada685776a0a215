-- send: one call without anything special, the most frequent of all. What submit.lua does for it, without the parts of lib/,
-- whose functions take the server longer to define than the call to be written (24 instead of 47 microseconds).
-- args: run, task, route, body, queue, flow run, inbox, meta, each an ARGV of its own; '' for what it has not
-- returns: 1, also for a run id that is known already: repeating it after a lost reply changes nothing
local P = KEYS[1]
local id, task, route, body, queue, flow_run, inbox, meta = unpack(ARGV)
local key = P .. 'r:' .. id
if redis.call('EXISTS', key) == 1 then return 1 end
local entry
-- The queue's entry is the one write that may be refused, so it comes first: then nothing has been written. What counts
-- and lists comes last and refuses nobody: a counter that somebody damaged begins anew.
if #body <= 512 and redis.pcall('SISMEMBER', P .. 'paused', queue) == 0 then
  -- A worker that waits for this very call gets it whole, without another trip (queue.py): a round trip of four fifths.
  entry = redis.call('XADD', P .. 'q:' .. route, '*', 'i', id, 't', task, 'b', body, 'f', flow_run, 'm', meta)
else
  entry = redis.call('XADD', P .. 'q:' .. route, '*', 'i', id)
end
local ticket = route .. ' ' .. entry
if flow_run == '' and inbox == '' and meta ~= '' then -- as most are: a table of fields would cost more than the rest here
  redis.call('HSET', key, 't', task, 'q', route, 'b', body, 's', 'Q', 'e', ticket, 'm', meta)
else
  local fields = { 't', task, 'q', route, 'b', body, 's', 'Q', 'e', ticket }
  local n = 10
  if flow_run ~= '' then fields[n + 1] = 'f'; fields[n + 2] = flow_run; n = n + 2 end
  if inbox ~= '' then fields[n + 1] = 'w'; fields[n + 2] = inbox; n = n + 2 end
  if meta ~= '' then fields[n + 1] = 'm'; fields[n + 2] = meta end
  redis.call('HSET', key, unpack(fields))
end
redis.pcall('SADD', P .. 'queues', queue)
local counted = queue .. ':' .. task
if type(redis.pcall('HINCRBY', P .. 'submitted', counted, 1)) ~= 'number' then
  redis.pcall('HSET', P .. 'submitted', counted, 1)
end
-- The msgpack of a list of one text of 36 bytes, which the server's own packer takes two microseconds for.
redis.pcall('XADD', P .. 'journal', '*', 's', #id == 36 and '\145\217\036' .. id or cmsgpack.pack({ id }))
return 1
