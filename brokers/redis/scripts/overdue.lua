-- overdue: whether calls wait for messages that another broker should have delivered by now.
-- args: { {queue, ...}, number }
-- returns: { the last number that was given to a ticket, { queues in which somebody waits by that number or a smaller } }
local queues, given = unpack(args)
local found = {}
for _, queue in ipairs(queues) do
  if range('awaited:' .. queue, '-inf', given, 'LIMIT', 0, 1)[1] then found[#found + 1] = queue end
end
local last = redis.pcall('GET', P .. 'tickets')
return cmsgpack.pack({ number(type(last) == 'string' and last, 0), found })
