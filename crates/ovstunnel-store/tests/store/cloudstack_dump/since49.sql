CREATE TABLE `ovs_tunnel_interface` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `ip` varchar(16) DEFAULT NULL,
  `netmask` varchar(16) DEFAULT NULL,
  `mac` varchar(18) DEFAULT NULL,
  `host_id` bigint DEFAULT NULL,
  `label` varchar(45) DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `ovs_tunnel_interface` VALUES (1,'0','0','0',0,'lock'),(2,NULL,NULL,NULL,2,'cloud-guest');

CREATE TABLE `ovs_tunnel_network` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `from` bigint unsigned NOT NULL,
  `to` bigint unsigned NOT NULL,
  `network_id` bigint unsigned NOT NULL,
  `key` int unsigned NOT NULL,
  `port_name` varchar(32) DEFAULT NULL,
  `state` varchar(16) DEFAULT 'FAILED',
  PRIMARY KEY (`id`),
  UNIQUE KEY `i_to_from_network_id` (`to`,`from`,`network_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `ovs_tunnel_network` VALUES (1,0,0,0,0,'lock','SUCCESS'),(2,1,2,204,1001,'t1001-1-2','Established'),(3,2,1,204,1001,NULL,'Created');
