#!lua flags=allow-oom
-- input_after: inputs of a flow run after a position; if there is none, who asks is notified of the next one.
-- args: { flow run, position, how many at most, inbox ('': nobody is notified), receiver, ttl ms }
-- returns: { position, key, value, ... }
local id, position, count, inbox, receiver, ttl = unpack(args)
local found = redis.pcall('XRANGE', P .. 'inp:' .. id, '(' .. position, '+', 'COUNT', count)
local reply = {}
for _, entry in ipairs(found.err and {} or found) do
  local _, name, _, value = unpack(entry[2])
  for _, part in ipairs({ entry[1], name or '', value or '' }) do reply[#reply + 1] = part end
end
if #reply == 0 and inbox ~= '' then
  local waiting = P .. 'inpwait:' .. id
  local added = redis.pcall('SADD', waiting, inbox .. ' ' .. receiver)
  if type(added) == 'table' and added.err then
    redis.call('DEL', waiting)
    redis.call('SADD', waiting, inbox .. ' ' .. receiver)
  end
  redis.call('PEXPIRE', waiting, ttl)
end
return cmsgpack.pack(reply)
