-- workers: the live consumers, what they say of themselves, and what they hold.
-- args: { lease ms, most runs told of one consumer }
-- returns: { {consumer, ms since its last beat, {field, value, ...}, calls it holds, {run that runs, ...}}, ... }
local lease, most = args[1], args[2]
local found, by_name, queues, known = {}, {}, {}, {}

local alive = redis.call('ZRANGEBYSCORE', P .. 'workers', now - lease, '+inf', 'WITHSCORES')
for i = 1, #alive, 2 do
  local facts = redis.call('HGETALL', P .. 'worker:' .. alive[i])
  local row = { alive[i], math.max(0, now - tonumber(alive[i + 1])), facts, 0, {} }
  found[#found + 1] = row
  by_name[alive[i]] = row
  for at = 1, #facts, 2 do
    if facts[at] == 'queues' then
      for queue in string.gmatch(facts[at + 1], '[^,]+') do
        if not known[queue] then known[queue] = true; queues[#queues + 1] = queue end
      end
    end
  end
end

local function look_at(key, consumer)
  local row = by_name[consumer]
  for _, pending in ipairs(redis.call('XPENDING', key, GROUP, '-', '+', most, consumer)) do
    if #row[5] >= most then return end
    local entry = redis.call('XRANGE', key, pending[1], pending[1])[1]
    local id = entry and entry[2][2]
    local status = id and redis.call('HGET', record(id), 's')
    if status == 'R' or status == 'X' then row[5][#row[5] + 1] = id end
  end
end

for _, queue in ipairs(queues) do
  for _, letter in ipairs({ 'r', 'h', 'd', 'l' }) do
    for _, lane in ipairs({ 's', 'a' }) do
      local key = stream(queue .. ':' .. letter .. lane)
      local summary = redis.pcall('XPENDING', key, GROUP) -- an error: nobody has read this route yet
      if not summary.err and summary[1] > 0 then
        for _, holder in ipairs(summary[4]) do
          if by_name[holder[1]] then
            by_name[holder[1]][4] = by_name[holder[1]][4] + tonumber(holder[2])
            look_at(key, holder[1])
          end
        end
      end
    end
  end
end
return cmsgpack.pack(found)
