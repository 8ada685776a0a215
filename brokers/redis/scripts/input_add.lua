#!lua flags=allow-oom
-- input_add: an input for a flow run; who waits for one is notified.
-- args: { flow run, key, value, ttl ms }
-- returns: 1; 0: there is no such flow run; 2: there is another input of this key
-- needs: inboxes
local id, name, value, ttl = unpack(args)
local flow, inputs, keys, waiting = P .. 'f:' .. id, P .. 'inp:' .. id, P .. 'inpkeys:' .. id, P .. 'inpwait:' .. id
if redis.call('EXISTS', flow) == 0 then return cmsgpack.pack(0) end

local before = look(keys, name)[1]
if before then -- the same one, sent again since a reply was lost, is no other
  local found = redis.pcall('XRANGE', inputs, before, before)
  if not found.err and found[1] then
    local _, _, _, there = unpack(found[1][2])
    return cmsgpack.pack(there == value and 1 or 2)
  end
end

local function add() return redis.pcall('XADD', inputs, '*', 'k', name, 'v', value) end
local position = add()
if type(position) == 'table' and position.err then -- something else is in its place: what it held is lost already
  redis.call('DEL', inputs)
  position = add()
end
local noted = redis.pcall('HSET', keys, name, position)
if type(noted) == 'table' and noted.err then
  redis.call('DEL', keys)
  redis.call('HSET', keys, name, position)
end
local kept = math.max(ttl, number(look(flow, 'ttl')[1], 0), redis.call('PTTL', flow))
redis.call('PEXPIRE', inputs, kept)
redis.call('PEXPIRE', keys, kept)

local receivers = redis.pcall('SMEMBERS', waiting)
for _, receiver in ipairs(receivers.err and {} or receivers) do
  local inbox, whom = string.match(receiver, '^(%S+) (%S+)$')
  if inbox then order(inbox, 'input', whom) end
end
redis.call('DEL', waiting)
deliver_inboxes()
return cmsgpack.pack(1)
