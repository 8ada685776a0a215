-- flow_records: what people see of a flow run is kept as long as results are, or as long as it says itself (`ttl`, ms).
local function keep_flow(key, ttl)
  return redis.call('PEXPIRE', key, math.max(1, number(look(key, 'ttl')[1], ttl)))
end
